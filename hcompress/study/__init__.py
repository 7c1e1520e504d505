"""Studies: one of the paper's experiments as variants of a recipe, from one teacher."""
