"""How many classes a mask has, as far as resampling minds."""

FEW_CLASSES = 2
"""So many are cut at one half, each by itself; of more, the largest wins. See `augkit_classical.warp.warp_affine`."""
