"""The cloud's side of a local fleet: what AWS would say of it, and a server that says so."""
