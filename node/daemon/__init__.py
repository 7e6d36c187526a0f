"""The thin shell: Trio, disk, processes and sockets around a pure validator."""
