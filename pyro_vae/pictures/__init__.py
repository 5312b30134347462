"""Pictures that a fitted model makes: draws, walks between codes, the latent plane.

``paths`` has the points of a walk or a plane in the latent space, ``decoded`` what a model makes
of them; ``plots`` draws the result.
"""
