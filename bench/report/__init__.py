"""`isthmus-bench report`: what the history of measurements says, as a page and as the table of the README."""
