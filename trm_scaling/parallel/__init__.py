"""Many devices and many hosts: the mesh, what lies where on it, and processes that work as one."""
