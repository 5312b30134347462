"""The parts of ``fit``, in the order in which they act.

``settings`` what is asked, ``program`` what is trained, ``splits`` the data it is given,
``folder`` the run that it is kept in, ``epochs`` the loop, ``steps`` the passes over the data,
``validation`` the bound that the best weights are chosen by, ``state`` those weights and when to
stop, ``progress`` the bar.
"""
