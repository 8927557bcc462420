"""From a peer's HTTP API to one picture of the swarm, kept fresh in the background and shared by all who look."""
