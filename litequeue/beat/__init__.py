"""Beat, the periodic sender: in every worker, or alone.

Any number of them may serve one file.  A tick is a row that exists once, written in the commit of
its job, so none of them has to lead: whoever comes first sends, the others find it done.
"""
