"""What proximity data generation does while training: captions in fewer or other words, mixup."""
