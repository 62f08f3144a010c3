"""One verb, one function: plain arguments in, a result out."""
