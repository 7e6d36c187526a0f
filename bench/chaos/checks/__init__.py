"""What must hold of a history and of the chain it left: one pure function a file, each able to fail."""
