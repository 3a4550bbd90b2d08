"""How well a track agrees with the annotation."""
