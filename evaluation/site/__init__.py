"""The documentation site: the hooks of mkdocs.yml, and what the API reference holds."""
