"""The tests, room by room as tbps_cli."""
