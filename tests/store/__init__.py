"""Jobs in a real Valkey: each transition, and any sequence of them."""
