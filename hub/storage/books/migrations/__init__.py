"""Steps of the schema, applied by `Books.open`."""
