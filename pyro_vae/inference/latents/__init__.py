"""What the codes say.

Which latent units carry information and of which factor, the ELBO taken apart where the aggregate
posterior shows, what is decoded back, and what is decoded between codes.
"""
