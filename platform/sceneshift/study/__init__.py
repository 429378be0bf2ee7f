"""The scripts' work from arguments to the last screen: searches, trainings, predictions, promotions, scenes."""
