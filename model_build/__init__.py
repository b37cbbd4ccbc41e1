"""Train, convert, quantise, check and publish the model that `functions/predict` serves."""
