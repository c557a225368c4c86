-- KEYS[1]: the replicas. ARGV[1]: the one that ends.
redis.call('HDEL', KEYS[1], ARGV[1])
return {'done'}
