"""3D skeletons: reading, cleaning, packing, preprocessing."""
