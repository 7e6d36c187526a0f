"""Real daemons, hurt by a seeded schedule while clients write and read; then a verdict. See DESIGN.md."""
