"""Which S3 tier there is: what the environment and operators say, and how a change comes into force."""
