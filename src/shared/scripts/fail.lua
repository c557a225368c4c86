-- KEYS[3]: the flight of the key. ARGV[3]: the key. ARGV[4]: the flight's nonce. ARGV[5]: the back-off. ARGV[6]: why.
local flight = redis.call('HMGET', KEYS[3], 'by', 'until')
if flight[1] ~= ARGV[4] or now >= (tonumber(flight[2]) or 0) + 60000 then return {'done'} end
local back_off = tonumber(ARGV[5])
redis.call('HSET', KEYS[3], 'by', 'back_off', 'until', now + back_off, 'lease', back_off, 'why', ARGV[6])
redis.call('PEXPIRE', KEYS[3], back_off + 60000)
tell('failure', ARGV[3], 'why', ARGV[6])
return {'done'}
