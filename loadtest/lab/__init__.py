"""What the measurements share: processes, cyand and its stores, the peers, and cyan-swarm as their client."""
