"""Many runs of one recipe: grids of its values, several seeds, and the methods that it is compared with."""
