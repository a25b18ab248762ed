"""OpenAI's Whisper with its real weights, as the folders that users have."""
