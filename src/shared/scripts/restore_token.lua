-- KEYS[3]: the token record. ARGV[3]: its version. ARGV[4]: its generation. ARGV[5]: the record.
local restored = tonumber(ARGV[3])
local version = tonumber(redis.call('HGET', KEYS[3], 'version')) or 0
if restored <= version then return {'done', version} end
redis.call('HSET', KEYS[3], 'version', restored, 'generation', tonumber(ARGV[4]), 'token', ARGV[5])
redis.call('HSET', fleet, 'sequence', sequence + 1)
tell('token', restored)
return {'done', restored}
