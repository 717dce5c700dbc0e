"""Image-gene contrastive models of spatial transcriptomics: data, losses, retrieval metrics, one training run."""
