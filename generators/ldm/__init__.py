"""Latent diffusion in parts: settings, autoencoder, conditions, denoiser, and a training loop that survives a kill."""
