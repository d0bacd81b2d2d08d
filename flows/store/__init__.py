"""The store: topics of a log as Parquet files, each row in one place, and SQL over them."""
