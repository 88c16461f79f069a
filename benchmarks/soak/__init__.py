"""The whole platform under a steady load for as long as one likes: does it stay as it was?"""
