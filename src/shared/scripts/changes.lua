-- KEYS[1]: the change feed. ARGV[1]: the position after which it is read. ARGV[2]: the most changes.
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if not first then return {'feed', '0-0', '0-0', 0, {}} end
local changes = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
return {'feed', first[1], newest[1], redis.call('XLEN', KEYS[1]), changes}
