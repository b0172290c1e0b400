"""From OpenLineage events to runs, datasets, columns, and to where a feature came from."""
