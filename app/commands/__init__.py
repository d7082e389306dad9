"""The commands of `priem`, a module for each kind of work.

Everything a command needs is imported inside it: `priem --help` must not wait for the messengers.
"""
