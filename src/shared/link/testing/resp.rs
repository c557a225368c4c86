//! RESP2, the server's side, for the fake server: reads commands, writes replies.

use redis::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

/// The next command's parts; `None`: the client has closed the connection.
pub(super) async fn read_command<R: AsyncRead + Unpin>(stream: &mut BufReader<R>) -> Option<Vec<Vec<u8>>> {
    let count = number(stream, '*').await?;
    let mut parts = Vec::with_capacity(count);
    for _ in 0..count {
        let length = number(stream, '$').await?;
        let mut part = vec![0; length + 2];
        stream.read_exact(&mut part).await.ok()?;
        part.truncate(length);
        parts.push(part);
    }
    Some(parts)
}

async fn number<R: AsyncRead + Unpin>(stream: &mut BufReader<R>, sign: char) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.strip_prefix(sign)?.trim_end().parse().ok()
}

/// A reply's bytes. A simple string that begins with `-` is an error, and one that begins with `HTTP` no RESP at all.
pub(super) fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(value, &mut bytes);
    bytes
}

fn write(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Nil => bytes.extend(b"$-1\r\n"),
        Value::Int(number) => bytes.extend(format!(":{number}\r\n").bytes()),
        Value::BulkString(data) => {
            bytes.extend(format!("${}\r\n", data.len()).bytes());
            bytes.extend(data);
            bytes.extend(b"\r\n");
        }
        Value::Array(items) => {
            bytes.extend(format!("*{}\r\n", items.len()).bytes());
            items.iter().for_each(|item| write(item, bytes));
        }
        Value::SimpleString(text) if text.starts_with('-') || text.starts_with("HTTP") => {
            bytes.extend(format!("{text}\r\n").bytes());
        }
        Value::SimpleString(text) => bytes.extend(format!("+{text}\r\n").bytes()),
        Value::Okay => bytes.extend(b"+OK\r\n"),
        other => panic!("not in RESP2: {other:?}"),
    }
}
