"""The Kedro graph as Airflow tasks: a manifest to draw them from, and a function to run one."""
