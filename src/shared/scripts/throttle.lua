-- ARGV[3]: for how long no call leaves; at most a minute.
local hold_until = math.max(ahead(fields[7]), now + math.min(tonumber(ARGV[3]), 60000))
redis.call('HSET', fleet, 'hold_until', hold_until)
return {'done'}
