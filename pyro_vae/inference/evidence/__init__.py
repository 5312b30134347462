"""log p(x), and what is made of it: bounds, the gap, comparisons, plans.

Estimators, one method a file and one form of result (``result``): ``importance``, ``ais``,
``quadrature``. What reduces, judges and compares their numbers is here too: ``reductions``,
``evaluate``,
``trust``, ``certify``, ``gap``, ``compare``, ``planner``.
"""
