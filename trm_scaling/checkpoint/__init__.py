"""Save and restore any pytree of arrays with its metadata: asynchronous, atomic, verified."""
