"""The commands' door, under a name that nobody else's package has."""
