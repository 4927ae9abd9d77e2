def close_loops(*a):
    return a[-1]
