model_embedding_size: int
