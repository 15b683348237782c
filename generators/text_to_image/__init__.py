"""Parts of the diffusers generator: settings, safe loading, adapters, prompts and sampling."""
