"""The Kedro datasets this project adds."""
