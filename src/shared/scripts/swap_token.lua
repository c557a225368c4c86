-- KEYS[3]: the token record. ARGV[3]: the version that is expected. ARGV[4]: the new generation. ARGV[5]: the new record.
local expected, generation = tonumber(ARGV[3]), tonumber(ARGV[4])
local record = redis.call('HMGET', KEYS[3], 'version', 'generation', 'token')
local version = tonumber(record[1]) or 0
if version == expected then
  redis.call('HSET', KEYS[3], 'version', version + 1, 'generation', generation, 'token', ARGV[5])
  redis.call('HSET', fleet, 'sequence', sequence + 1)
  tell('token', version + 1)
  return {'done', version + 1}
end
-- The reply to an earlier try was lost.
if version == expected + 1 and tonumber(record[2]) == generation and record[3] == ARGV[5] then
  return {'done', version}
end
if version == 0 then return {'none'} end
return {'token', version, tonumber(record[2]), record[3]}
