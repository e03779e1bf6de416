"""The programs that Triton compiles. Importing one of these files imports Triton, so only what runs them does."""
