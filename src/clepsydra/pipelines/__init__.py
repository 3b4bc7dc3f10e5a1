"""The stages of the line, one Kedro pipeline each."""
