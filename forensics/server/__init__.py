"""The HTTP door of a lake: OpenLineage events, decisions and changes, durable before the answer."""
