"""Image -> unit vector, caption -> unit vector."""
