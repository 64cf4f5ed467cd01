PRICES = {"apple": 1, "pear": 2}


def of(name):
    return PRICES[name]
