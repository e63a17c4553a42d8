"""What the labs share and no lab should have to contain; ARCHITECTURE.md in docs/ is its map.

Rooms from the top: cli, services, stacks, runs, data, base. Each may import only the rooms below it.
"""
